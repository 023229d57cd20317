"""The command line. Every command is a module here with HELP, arguments(parser) and main(args) → exit code."""
