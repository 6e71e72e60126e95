module example.test/reader

go 1.22

require github.com/twmb/franz-go/pkg/sr v1.2.0
