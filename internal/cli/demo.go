package cli

import "github.com/spf13/cobra"

func demoCommand() *cobra.Command { return group("demo", "See it work") }
