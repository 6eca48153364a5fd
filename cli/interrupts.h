// Interrupts: counts how often the user asked to stop (Ctrl-C, or a polite kill).
#pragma once

namespace coppice::cli {

// While it lives, SIGINT and SIGTERM are counted instead of ending the program; a third one ends it
// at once (the log allows that at any moment). One at a time.
class Interrupts {
 public:
  Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;
  ~Interrupts();
  static int count();
};

}  // namespace coppice::cli
