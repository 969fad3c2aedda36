# offload_test.cpp is about examples/engine.
target_include_directories(${test_target} PRIVATE ${PROJECT_SOURCE_DIR}/examples/engine)
