# SPDX-License-Identifier: Apache-2.0
# Headers, CMake package, pkg-config file.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(xmoe_package_dir ${CMAKE_INSTALL_DATADIR}/cmake/xmoe)
install(TARGETS xmoe xmoe_cuda EXPORT xmoe-targets FILE_SET HEADERS)
install(EXPORT xmoe-targets NAMESPACE xmoe:: DESTINATION ${xmoe_package_dir})

write_basic_package_version_file(${PROJECT_BINARY_DIR}/xmoe-config-version.cmake
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/xmoe-config.cmake.in
  ${PROJECT_BINARY_DIR}/xmoe-config.cmake INSTALL_DESTINATION ${xmoe_package_dir})
install(FILES
  ${PROJECT_BINARY_DIR}/xmoe-config.cmake ${PROJECT_BINARY_DIR}/xmoe-config-version.cmake
  DESTINATION ${xmoe_package_dir})

configure_file(${PROJECT_SOURCE_DIR}/cmake/xmoe.pc.in ${PROJECT_BINARY_DIR}/xmoe.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/xmoe.pc DESTINATION ${CMAKE_INSTALL_DATADIR}/pkgconfig)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
