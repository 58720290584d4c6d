# terse_embed(TARGET NAME TEXT): writes TARGET, a C++ source that defines
# terse::k<NAME> and terse::k<NAME>Bytes, the bytes of file TEXT. As numbers: a
# string literal may not be that long.
function(terse_embed target name text)
  file(READ ${text} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  file(WRITE ${target}
    "#include <cstddef>\nnamespace terse {\n"
    "extern const unsigned char k${name}[];\n"
    "extern const size_t k${name}Bytes;\n"
    "const unsigned char k${name}[] = {${bytes}};\n"
    "const size_t k${name}Bytes = sizeof(k${name});\n}\n")
endfunction()
