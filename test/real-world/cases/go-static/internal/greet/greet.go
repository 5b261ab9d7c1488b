// Package greet words greetings.
package greet

import "fmt"

// Version is set by the linker.
var Version = "dev"

// To greets name.
func To(name string) string { return fmt.Sprintf("Hello %s, this is %s", name, Version) }
