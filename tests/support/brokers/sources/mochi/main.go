// mochi-mqtt with its sessions and queues in a bolt database, everything else as it comes: broker HOST:PORT FILE.
package main

import (
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/hooks/storage/bolt"
	"github.com/mochi-mqtt/server/v2/listeners"
	"go.etcd.io/bbolt"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	server := mqtt.New(nil)
	must(server.AddHook(new(auth.AllowHook), nil))
	// The file is not synced after each change: it is the process that is killed here, not the machine.
	options := &bbolt.Options{Timeout: 500 * time.Millisecond, NoSync: true}
	must(server.AddHook(new(bolt.Hook), &bolt.Options{Path: os.Args[2], Options: options}))
	must(server.AddListener(listeners.NewTCP(listeners.Config{ID: "tcp", Address: os.Args[1]})))
	must(server.Serve())
	<-ended
	must(server.Close())
}
