// etcd-backup-peer reads and writes the objects of etcd-backup with the libraries that etcd-backup is made of: minio-go's client and
// golang.org/x/crypto's cipher, at the versions that it pins. It shares no code with strongroom, and is not etcd-backup itself, whose module no
// registry has: what it does follows docs/sources/etcd-backup.md.
//
//	etcd-backup-peer write NAME < SNAPSHOT    puts NAME.key, and NAME.dump of unknown length, as etcd-backup does
//	etcd-backup-peer read NAME > SNAPSHOT     opens NAME.dump by NAME.key
//	etcd-backup-peer list                     the names at the top of the bucket, as etcd-backup lists them
//	etcd-backup-peer bucket                   makes the bucket
//
// In the environment: ENDPOINT (HOST:PORT), CA (a PEM file), ACCESS_KEY, SECRET_KEY, REGION, BUCKET, and MASTER (64 hexadecimal digits; empty for
// dumps that are not sealed).
package main

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	minio "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/crypto/chacha20poly1305"
)

const chunkSize = 1 << 20

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "etcd-backup-peer:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	client, err := connect()
	if err != nil {
		return err
	}
	bucket := os.Getenv("BUCKET")
	switch {
	case len(args) == 1 && args[0] == "list":
		for object := range client.ListObjects(context.Background(), bucket, minio.ListObjectsOptions{}) {
			if object.Err != nil {
				return object.Err
			}
			fmt.Println(object.Key)
		}
		return nil
	case len(args) == 1 && args[0] == "bucket":
		return client.MakeBucket(context.Background(), bucket, minio.MakeBucketOptions{Region: os.Getenv("REGION")})
	case len(args) == 2 && args[0] == "write":
		return write(client, bucket, args[1])
	case len(args) == 2 && args[0] == "read":
		return read(client, bucket, args[1])
	}
	return errors.New("write NAME, read NAME, list or bucket")
}

func connect() (*minio.Client, error) {
	pem, err := os.ReadFile(os.Getenv("CA"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("CA holds no certificate")
	}
	return minio.New(os.Getenv("ENDPOINT"), &minio.Options{
		Creds:     credentials.NewStaticV4(os.Getenv("ACCESS_KEY"), os.Getenv("SECRET_KEY"), ""),
		Secure:    true,
		Region:    os.Getenv("REGION"),
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
	})
}

// master is nil where dumps are not sealed.
func master() (cipher.AEAD, error) {
	key, err := hex.DecodeString(os.Getenv("MASTER"))
	if err != nil || len(key) == 0 {
		return nil, err
	}
	return chacha20poly1305.NewX(key)
}

// nonce begins with the time, and is random from there on.
func nonce() []byte {
	nonce := make([]byte, chacha20poly1305.NonceSizeX)
	rand.Read(nonce)
	binary.BigEndian.PutUint64(nonce, uint64(time.Now().UnixNano()))
	return nonce
}

func write(client *minio.Client, bucket, name string) error {
	ctx := context.Background()
	var dump io.Reader = os.Stdin
	sealer, err := master()
	if err != nil {
		return err
	}
	if sealer != nil {
		key := make([]byte, chacha20poly1305.KeySize)
		rand.Read(key)
		start := nonce()
		object := sealer.Seal(start, start, key, nil)
		if _, err := client.PutObject(ctx, bucket, name+".key", bytes.NewReader(object), int64(len(object)), minio.PutObjectOptions{}); err != nil {
			return err
		}
		if dump, err = sealed(os.Stdin, key); err != nil {
			return err
		}
	}
	// Of unknown length, which minio-go uploads in parts.
	_, err = client.PutObject(ctx, bucket, name+".dump", dump, -1, minio.PutObjectOptions{PartSize: 16 << 20})
	return err
}

// sealed is what snapshot becomes, chunk by chunk.
func sealed(snapshot io.Reader, key []byte) (io.Reader, error) {
	sealer, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, err
	}
	base := nonce()[:16]
	reader, writer := io.Pipe()
	go func() {
		chunk := make([]byte, chunkSize)
		for counter := uint64(0); ; counter++ {
			length, err := io.ReadFull(snapshot, chunk)
			if length > 0 {
				start := binary.BigEndian.AppendUint64(append([]byte{}, base...), counter)
				if _, err := writer.Write(sealer.Seal(start, start, chunk[:length], nil)); err != nil {
					return
				}
			}
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				writer.Close()
				return
			}
			if err != nil {
				writer.CloseWithError(err)
				return
			}
		}
	}()
	return reader, nil
}

func read(client *minio.Client, bucket, name string) error {
	ctx := context.Background()
	dump, err := client.GetObject(ctx, bucket, name+".dump", minio.GetObjectOptions{})
	if err != nil {
		return err
	}
	opener, err := master()
	if err != nil {
		return err
	}
	if opener == nil {
		_, err = io.Copy(os.Stdout, dump)
		return err
	}
	object, err := client.GetObject(ctx, bucket, name+".key", minio.GetObjectOptions{})
	if err != nil {
		return err
	}
	sealedKey, err := io.ReadAll(object)
	if err != nil {
		return err
	}
	if len(sealedKey) != 72 {
		return fmt.Errorf("the key object has %d bytes", len(sealedKey))
	}
	key, err := opener.Open(nil, sealedKey[:24], sealedKey[24:], nil)
	if err != nil {
		return err
	}
	if opener, err = chacha20poly1305.NewX(key); err != nil {
		return err
	}
	chunk := make([]byte, 24+chunkSize+16)
	for {
		length, err := io.ReadFull(dump, chunk)
		if err == io.EOF {
			return nil
		}
		if err != nil && err != io.ErrUnexpectedEOF {
			return err
		}
		if length < 24 {
			return errors.New("a chunk is cut")
		}
		plain, err := opener.Open(nil, chunk[:24], chunk[24:length], nil)
		if err != nil {
			return err
		}
		if _, err := os.Stdout.Write(plain); err != nil {
			return err
		}
	}
}
