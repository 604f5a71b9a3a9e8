# As Slicer's: the description of the extension is written from these variables.

foreach(name NAME HOMEPAGE CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  if("${EXTENSION_${name}}" STREQUAL "")
    message(FATAL_ERROR "EXTENSION_${name} is not set")
  endif()
  standin_record(EXTENSION_${name} "${EXTENSION_${name}}")
endforeach()
standin_record(GENERATE_CONFIG)
