# The target peft::peft: the folder of the header, threads and the mathematical library.
if(NOT TARGET peft::peft)
  if(NOT peft_include)
    get_filename_component(peft_include "${CMAKE_CURRENT_LIST_DIR}/../../../include" ABSOLUTE)
  endif()
  find_package(Threads REQUIRED)
  add_library(peft::peft INTERFACE IMPORTED GLOBAL)
  set_target_properties(peft::peft PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${peft_include}" INTERFACE_COMPILE_DEFINITIONS PEFT_USE_PTHREADS
    INTERFACE_LINK_LIBRARIES "Threads::Threads;$<$<NOT:$<PLATFORM_ID:Windows>>:m>")
endif()
