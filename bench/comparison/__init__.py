"""fastgmm side by side with other libraries: see bench/README.md."""
