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

# Targets that are compiled with -O0 whatever the flags say: what a build only wants to see compiled, or what runs quickly
# even so (clang takes nine times as long for some files of the tool at -O1).
set(NBIT_UNOPTIMISED "" CACHE STRING "Targets that are compiled with -O0")
function(nbit_optimisation target)
  if(target IN_LIST NBIT_UNOPTIMISED)
    target_compile_options(${target} PRIVATE -O0)
  endif()
endfunction()

# What small units spend a third of their time on is read once: std, intrinsics, and in tests Catch2. nbit's own headers stay
# out: kernels are stamped in each unit. Not under a launcher: a cache of objects has little to win and is harder to hit.
if(CMAKE_CXX_COMPILER_LAUNCHER OR MSVC)
  set(nbit_precompile_default OFF)
else()
  set(nbit_precompile_default ON)
endif()
option(NBIT_PRECOMPILE "Precompile standard headers for tests and the tool" ${nbit_precompile_default})
set(nbit_precompiled_headers <algorithm> <array> <bit> <cmath> <concepts> <cstddef> <cstdint> <cstdlib> <cstring> <filesystem>
  <limits> <map> <memory> <optional> <span> <sstream> <string> <string_view> <type_traits> <utility> <vector>)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  list(APPEND nbit_precompiled_headers <immintrin.h>)
endif()
if(NBIT_PRECOMPILE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ forgets which precompiled lines are the system's and reports what it does not see through in std::string's copies;
  # whether it does depends on nothing more than the length of a path. Builds without precompiled headers refuse these still.
  target_compile_options(nbit_development INTERFACE
    -Wno-error=array-bounds -Wno-error=stringop-overflow -Wno-error=restrict)
endif()

# Where <nbit/...> is found. For the single header: a folder of one-line headers under the same names.
if(NBIT_SINGLE_HEADER_TESTS)
  include(${PROJECT_SOURCE_DIR}/cmake/single_header.cmake)
else()
  target_link_libraries(nbit_development INTERFACE nbit::nbit)
endif()
