package greet

import "testing"

func TestTo(t *testing.T) {
	if got := To("Go"); got != "Hello Go, this is dev" {
		t.Fatal(got)
	}
}
