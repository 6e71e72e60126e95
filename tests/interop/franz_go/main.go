// Prints id and text of the newest version of a subject, as franz-go reads them from a registry.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/twmb/franz-go/pkg/sr"
)

func main() {
	client, err := sr.NewClient(sr.URLs(os.Args[1]))
	if err != nil {
		panic(err)
	}
	subject := os.Args[2]
	version, err := client.SchemaByVersion(context.Background(), subject, -1)
	if err != nil {
		panic(err)
	}
	byVersion, err := client.SchemaTextByVersion(context.Background(), subject, version.Version)
	if err != nil {
		panic(err)
	}
	byID, err := client.SchemaByID(context.Background(), version.ID)
	if err != nil {
		panic(err)
	}
	fmt.Println(strconv.Itoa(version.ID))
	fmt.Println(byVersion)
	fmt.Println(byID.Schema)
}
