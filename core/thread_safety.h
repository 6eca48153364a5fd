// Names for Clang's thread-safety attributes (-Wthread-safety), and a mutex that carries them.
#pragma once

#include <mutex>

#if defined(__clang__)
#define COPPICE_ATTRIBUTE(x) __attribute__((x))
#else
#define COPPICE_ATTRIBUTE(x)
#endif
#define COPPICE_CAPABILITY(x) COPPICE_ATTRIBUTE(capability(x))
#define COPPICE_SCOPED_CAPABILITY COPPICE_ATTRIBUTE(scoped_lockable)
#define COPPICE_GUARDED_BY(x) COPPICE_ATTRIBUTE(guarded_by(x))
#define COPPICE_REQUIRES(...) COPPICE_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define COPPICE_ACQUIRE(...) COPPICE_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define COPPICE_RELEASE(...) COPPICE_ATTRIBUTE(release_capability(__VA_ARGS__))
#define COPPICE_EXCLUDES(...) COPPICE_ATTRIBUTE(locks_excluded(__VA_ARGS__))

namespace coppice {

class COPPICE_CAPABILITY("mutex") Mutex {
 public:
  void lock() COPPICE_ACQUIRE() { mutex_.lock(); }
  void unlock() COPPICE_RELEASE() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

// Scoped lock that the analysis understands; usable with std::condition_variable_any.
class COPPICE_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) COPPICE_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() COPPICE_RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace coppice
