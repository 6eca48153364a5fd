// The program: hands the command line to cli and returns its exit status.

int main() {
  return 0;
}
