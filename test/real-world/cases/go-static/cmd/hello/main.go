package main

import (
	"fmt"
	"os"

	"example.com/hello/internal/greet"
)

func main() {
	name := "world"
	if len(os.Args) > 1 {
		name = os.Args[1]
	}
	fmt.Println(greet.To(name), "as", os.Getuid())
	if name == "nobody" {
		os.Exit(3)
	}
}
