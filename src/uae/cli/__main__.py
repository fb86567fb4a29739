from uae.cli import main

main()
