# Makes <nbit/any/header.hpp> mean single_include/nbit.hpp, so that the same sources test both forms of the library.
# Headers that the single header leaves out (opt-in ones) and in-place texts (.inl) forward to the real file.
set(single ${PROJECT_SOURCE_DIR}/single_include/nbit.hpp)
set(forward ${PROJECT_BINARY_DIR}/single_header_include)
if(NOT EXISTS ${single})
  message(FATAL_ERROR "single_include/nbit.hpp is missing; make it with: python3 single_include/amalgamate.py")
endif()
file(STRINGS ${single} pasted REGEX "^// BEGIN nbit/")
file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}/include
  ${PROJECT_SOURCE_DIR}/include/nbit/*.hpp ${PROJECT_SOURCE_DIR}/include/nbit/*.inl)
foreach(header IN LISTS headers)
  if(header MATCHES "\\.hpp$" AND "// BEGIN ${header}" IN_LIST pasted)
    set(target ${single})
  else()
    set(target ${PROJECT_SOURCE_DIR}/include/${header})
  endif()
  # Written only when it changes, so that a new configure does not rebuild every test.
  file(CONFIGURE OUTPUT ${forward}/${header} CONTENT "#include \"${target}\"\n" @ONLY)
endforeach()
target_include_directories(nbit_development INTERFACE ${forward})
