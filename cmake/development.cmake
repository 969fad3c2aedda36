# Flags for everything that is built here and never installed: tests, benchmarks, examples. Consumers see none of this.
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)

find_package(Threads REQUIRED)
find_package(Python3 3.9 COMPONENTS Interpreter)

add_library(nbit_development INTERFACE)
target_compile_features(nbit_development INTERFACE cxx_std_20)
target_link_libraries(nbit_development INTERFACE Threads::Threads)
target_compile_definitions(nbit_development INTERFACE $<$<BOOL:${NBIT_SCALAR_ONLY}>:NBIT_SCALAR_ONLY>)
# Most tests compile fewer targets: machines with AVX-VNNI and without AVX-512 are not where they run.
if(NOT NBIT_AVX_VNNI)
  target_compile_definitions(nbit_development INTERFACE NBIT_HAS_AVX_VNNI=0)
endif()
if(MSVC)
  target_compile_options(nbit_development INTERFACE /W4 $<$<BOOL:${NBIT_WARNINGS_AS_ERRORS}>:/WX>)
else()
  target_compile_options(nbit_development INTERFACE
    -Wall -Wextra -Wpedantic -Wconversion -Wshadow $<$<BOOL:${NBIT_WARNINGS_AS_ERRORS}>:-Werror>)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # A vector passed by value through a function without its target feature gives wrong numbers, not only a note.
    target_compile_options(nbit_development INTERFACE -Werror=psabi)
  endif()
endif()
if(NBIT_SANITIZE)
  target_compile_options(nbit_development INTERFACE
    -fsanitize=${NBIT_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(nbit_development INTERFACE -fsanitize=${NBIT_SANITIZE})
endif()

# Where <nbit/...> is found. For the single header: a folder of one-line headers under the same names.
if(NBIT_SINGLE_HEADER_TESTS)
  include(${PROJECT_SOURCE_DIR}/cmake/single_header.cmake)
else()
  target_link_libraries(nbit_development INTERFACE nbit::nbit)
endif()
