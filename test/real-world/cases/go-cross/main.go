package main

import (
	"os"
	"runtime"
)

var built string

func main() {
	os.Stdout.WriteString(runtime.GOOS + "/" + runtime.GOARCH + " built on " + built + "\n")
}
