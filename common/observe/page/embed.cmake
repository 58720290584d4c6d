# Writes TARGET, a C++ source with the page of FOLDER as kPageTemplate: index.html
# with the other parts in place of their names in double braces.
include(${CMAKE_CURRENT_LIST_DIR}/../../../cmake/embed.cmake)
file(READ ${FOLDER}/index.html page)
foreach(part page.css plots.js page.js vendor/uPlot.iife.min.js vendor/uPlot.min.css)
  file(READ ${FOLDER}/${part} text)
  string(REPLACE "{{${part}}}" "${text}" page "${page}")
endforeach()
file(WRITE ${TARGET}.html "${page}")
terse_embed(${TARGET} PageTemplate ${TARGET}.html)
