# Stands for Slicer's build tree when the extension is configured without it. Records in
# ${CMAKE_BINARY_DIR}/recorded.txt what each macro was given: a line [name], then one line an argument.

set(Slicer_FOUND TRUE)
set(Slicer_VERSION 5.12.3)
set(Slicer_USE_PYTHONQT TRUE)
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR "lib/Slicer-5.12/qt-scripted-modules")

set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/SlicerExtensionGenerateConfig.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/SlicerExtensionCPack.cmake")

file(WRITE "${CMAKE_BINARY_DIR}/recorded.txt" "")

function(standin_record name)
  set(text "[${name}]\n")
  foreach(argument IN LISTS ARGN)
    string(APPEND text "${argument}\n")
  endforeach()
  file(APPEND "${CMAKE_BINARY_DIR}/recorded.txt" "${text}")
endfunction()
