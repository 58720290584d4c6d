# What the presets with sanitizers ask of every test they run, and of those with
# MPI (tests/tsan.supp, tests/lsan.supp); and how long a test may take.
set(TERSE_TEST_ENVIRONMENT "")
set(TERSE_MPI_TEST_ENVIRONMENT "")
set(TERSE_TEST_TIMEOUT_SECONDS 1500)
if(CMAKE_CXX_FLAGS MATCHES "-fsanitize=thread")
  set(TERSE_TEST_ENVIRONMENT
      "TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/tsan.supp:ignore_noninstrumented_modules=1")
  set(TERSE_MPI_TEST_ENVIRONMENT "${TERSE_TEST_ENVIRONMENT}")
  set(TERSE_TEST_TIMEOUT_SECONDS 6000)  # The simulator's take half an hour.
elseif(CMAKE_CXX_FLAGS MATCHES "-fsanitize=address")
  # Whole stacks, through libraries without frame pointers, are slow.
  set(TERSE_MPI_TEST_ENVIRONMENT
      "LSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/lsan.supp"
      "ASAN_OPTIONS=fast_unwind_on_malloc=0")
endif()

# terse_library(NAME SOURCES ... DEPS ... [PRIVATE_DEPS ...])
function(terse_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
endfunction()

# terse_test(NAME SOURCES ... DEPS ... [LABELS ...]): one gtest program, each of
# its tests known to ctest.
function(terse_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES
                        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE
                             TERSE_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                             TERSE_BINARY_DIR="${CMAKE_BINARY_DIR}")
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}"
                       ENVIRONMENT "${TERSE_TEST_ENVIRONMENT}"
                       TIMEOUT ${TERSE_TEST_TIMEOUT_SECONDS})
endfunction()

# terse_test_directory(NAME DEPS ...): every *_test.cc of this folder in one
# program, so that no test file can be forgotten.
function(terse_test_directory name)
  cmake_parse_arguments(ARG "" "" "DEPS;LABELS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*_test.cc)
  terse_test(${name} SOURCES ${sources} DEPS ${ARG_DEPS} LABELS ${ARG_LABELS})
endfunction()

# terse_fuzz(NAME SOURCES ... DEPS ...): SOURCES define LLVMFuzzerTestOneInput.
# With TERSE_FUZZ a libFuzzer program; otherwise a program that replays files,
# so that every build runs the corpus. ctest replays tests/fuzz/corpus/NAME.
function(terse_fuzz name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  set(corpus ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
  if(TERSE_FUZZ)
    add_executable(${name} ${ARG_SOURCES})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    add_test(NAME ${name} COMMAND ${name} -runs=0 ${corpus})
  else()
    add_executable(${name} ${ARG_SOURCES}
                   ${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.cc)
    add_test(NAME ${name} COMMAND ${name} ${corpus})
  endif()
  set_target_properties(${name} PROPERTIES
                        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  set_tests_properties(${name} PROPERTIES LABELS fuzz
                       ENVIRONMENT "${TERSE_TEST_ENVIRONMENT}")
endfunction()
