# Writes a C++ source that holds the texts of HEADERS (a list) as experiments::built_in_headers().
set(text "// Generated from experiments/include by cmake/EmbedHeaders.cmake.
#include \"experiments/op_files.h\"

namespace coppice::experiments {

const FileMap& built_in_headers() {
  static const FileMap files = {
")
foreach(header IN LISTS HEADERS)
  get_filename_component(name ${header} NAME)
  file(READ ${header} body)
  string(APPEND text "      {\"include/${name}\", R\"__coppice__(${body})__coppice__\"},\n")
endforeach()
string(APPEND text "  };\n  return files;\n}\n\n}  // namespace coppice::experiments\n")
file(WRITE ${OUTPUT} "${text}")
