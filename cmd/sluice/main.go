// Command sluice takes logs in, keeps them safe until they are analyzed, and runs as many analyzers as the backlog needs.
package main

import (
	"os"

	"github.com/sluicehq/sluice/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
