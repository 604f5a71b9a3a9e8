# As Slicer's UseSlicer.cmake: the name of the extension, where it is installed, and the macros.

set(EXTENSION_NAME ${PROJECT_NAME})
# On Linux and Windows; on macOS the extension lies in a bundle of its own.
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR "${Slicer_QTSCRIPTEDMODULES_LIB_DIR}")
include(CTest)

# Copies what it is given into the build tree, and installs that. Slicer's installs the whole folder
# of the build tree instead; here what the extension itself must install would be missing.
function(slicerMacroBuildScriptedModule)
  standin_record(slicerMacroBuildScriptedModule ${ARGV})
  cmake_parse_arguments(MY "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MY_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "Unknown keywords: ${MY_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT MY_NAME OR NOT MY_SCRIPTS)
    message(FATAL_ERROR "NAME and SCRIPTS are mandatory")
  endif()
  set(copies)
  foreach(file IN LISTS MY_SCRIPTS MY_RESOURCES)
    set(source "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
    if(NOT EXISTS "${source}" OR IS_DIRECTORY "${source}")
      message(FATAL_ERROR "slicerMacroBuildScriptedModule was given nonexistent file '${file}'")
    endif()
    set(copy "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}/${file}")
    add_custom_command(OUTPUT "${copy}" DEPENDS "${source}"
      COMMAND ${CMAKE_COMMAND} -E copy "${source}" "${copy}" VERBATIM)
    list(APPEND copies "${copy}")
    get_filename_component(folder "${file}" DIRECTORY)
    install(FILES "${copy}" COMPONENT RuntimeLibraries
      DESTINATION "${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}/${folder}")
  endforeach()
  add_custom_target(Copy${MY_NAME}PythonFiles ALL DEPENDS ${copies})
endfunction()

function(slicer_add_python_unittest)
  standin_record(slicer_add_python_unittest ${ARGV})
  cmake_parse_arguments(MY "" "SCRIPT;TESTNAME_PREFIX" "SLICER_ARGS" ${ARGN})
  if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${MY_SCRIPT}")
    message(FATAL_ERROR "slicer_add_python_unittest was given nonexistent file '${MY_SCRIPT}'")
  endif()
endfunction()
