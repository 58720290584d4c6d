# Writes TARGET, a C++ source with the manifests of FOLDER that `terse launch
# --kubernetes` fills in, one after the other.
include(${CMAKE_CURRENT_LIST_DIR}/../../cmake/embed.cmake)
set(all)
foreach(part job/serviceaccount base/service base/server base/worker)
  file(READ ${FOLDER}/${part}.yaml text)
  string(APPEND all "---\n${text}")
endforeach()
file(WRITE ${TARGET}.yaml "${all}")
terse_embed(${TARGET} Manifests ${TARGET}.yaml)
