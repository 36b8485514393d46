// kfake, a Kafka broker in Go: broker LISTEN ADVERTISED FOLDER, both HOST:PORT. What it takes is in the folder's files.
package main

import (
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"
)

// behind listens at one address and says that it is at another: a link stands between them.
type behind struct {
	net.Listener
	advertised net.Addr
}

func (l behind) Addr() net.Addr { return l.advertised }

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	advertised, err := net.ResolveTCPAddr("tcp", os.Args[2])
	must(err)
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.Ports(advertised.Port),
		kfake.AllowAutoTopicCreation(),
		kfake.DefaultNumPartitions(1),
		kfake.DataDir(os.Args[3]),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) {
			listener, err := net.Listen(network, os.Args[1])
			return behind{listener, advertised}, err
		}),
	)
	must(err)
	<-ended
	cluster.Close()
}
