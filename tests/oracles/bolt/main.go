// Command bolt writes a bbolt database, as trivy-db is one, from a tree in JSON on standard input.
//
// An object under the key "buckets" holds buckets by name; an object under "pairs" holds values, stored as JSON.
package main

import (
	"encoding/json"
	"log"
	"os"

	"go.etcd.io/bbolt"
)

type tree struct {
	Buckets map[string]tree            `json:"buckets"`
	Pairs   map[string]json.RawMessage `json:"pairs"`
}

type parent interface {
	CreateBucketIfNotExists(name []byte) (*bbolt.Bucket, error)
}

func fill(in parent, buckets map[string]tree) error {
	for name, content := range buckets {
		bucket, err := in.CreateBucketIfNotExists([]byte(name))
		if err != nil {
			return err
		}
		for key, value := range content.Pairs {
			if err := bucket.Put([]byte(key), value); err != nil {
				return err
			}
		}
		if err := fill(bucket, content.Buckets); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	var root tree
	if err := json.NewDecoder(os.Stdin).Decode(&root); err != nil {
		log.Fatal(err)
	}
	db, err := bbolt.Open(os.Args[1], 0o600, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := db.Update(func(tx *bbolt.Tx) error { return fill(tx, root.Buckets) }); err != nil {
		log.Fatal(err)
	}
	if err := db.Close(); err != nil {
		log.Fatal(err)
	}
}
