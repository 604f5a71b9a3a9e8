# As Slicer's: makes the package from what is installed.

standin_record(CPACK)
