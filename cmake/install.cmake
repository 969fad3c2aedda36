include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS nbit EXPORT nbitTargets)
install(EXPORT nbitTargets NAMESPACE nbit:: DESTINATION ${CMAKE_INSTALL_DATADIR}/cmake/nbit)
install(DIRECTORY include/nbit DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.hpp" PATTERN "*.inl" PATTERN "*.cuh")

configure_package_config_file(cmake/nbitConfig.cmake.in ${PROJECT_BINARY_DIR}/nbitConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_DATADIR}/cmake/nbit)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/nbitConfigVersion.cmake
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/nbitConfig.cmake ${PROJECT_BINARY_DIR}/nbitConfigVersion.cmake
  DESTINATION ${CMAKE_INSTALL_DATADIR}/cmake/nbit)

configure_file(cmake/nbit.pc.in ${PROJECT_BINARY_DIR}/nbit.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/nbit.pc DESTINATION ${CMAKE_INSTALL_DATADIR}/pkgconfig)
