# Writes the commit of SOURCE into OUTPUT, which changes only when it does. Where
# there is no git, TERSE_REVISION of the environment says which it is.
execute_process(COMMAND git -c safe.directory=* -C ${SOURCE} describe --always
                        --dirty --abbrev=12 --exclude=*
                OUTPUT_VARIABLE revision OUTPUT_STRIP_TRAILING_WHITESPACE
                RESULT_VARIABLE failed ERROR_QUIET)
if(failed OR revision STREQUAL "")
  set(revision "unknown")
  if(NOT "$ENV{TERSE_REVISION}" STREQUAL "")
    set(revision "$ENV{TERSE_REVISION}")
  endif()
endif()
set(text "#include \"common/observe/revision.h\"

namespace terse {
const char kRevision[] = \"${revision}\";
}  // namespace terse
")
set(present "")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} present)
endif()
if(NOT present STREQUAL text)
  file(WRITE ${OUTPUT} "${text}")
endif()
