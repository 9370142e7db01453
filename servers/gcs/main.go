// A fake of Google Cloud Storage: the library fake-gcs-server behind a handler that adds what it lacks.
//
// It lacks conditional puts of the XML API (PUT with x-goog-if-generation-match), which real stores have; they become uploads of the
// JSON API, which it checks. Rights and signatures are not checked by anything here.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"encoding/json"

	"github.com/fsouza/fake-gcs-server/fakestorage"
)

func main() {
	address := flag.String("address", "127.0.0.1:0", "where to listen; the port is printed")
	root := flag.String("root", "", "a folder that keeps objects over restarts; without it they, and their versions, are kept in memory")
	bucket := flag.String("bucket", "test", "a bucket to make")
	versioned := flag.Bool("versioned", false, "whether the bucket keeps old versions (in memory only)")
	flag.Parse()

	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	fake, err := fakestorage.NewServerWithOptions(fakestorage.Options{
		StorageRoot: *root,
		PublicHost:  listener.Addr().String(),
		NoListener:  true,
	})
	if err != nil {
		log.Fatal(err)
	}
	fake.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: *bucket, VersioningEnabled: *versioned})
	fmt.Println(listener.Addr())
	log.Fatal(http.Serve(listener, conditionalPuts{fake.HTTPHandler(), listener.Addr().String()}))
}

type conditionalPuts struct {
	fake http.Handler
	host string
}

func (h conditionalPuts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The library answers the XML API to one name only, and whoever comes by way of a proxy says another one.
	r.Host = h.host
	bucket, object, found := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if r.Method != http.MethodPut || !found || r.URL.RawQuery != "" {
		h.fake.ServeHTTP(w, r)
		return
	}
	query := url.Values{"uploadType": {"media"}, "name": {object}}
	if generation := r.Header.Get("x-goog-if-generation-match"); generation != "" {
		query.Set("ifGenerationMatch", generation)
	}
	upload := r.Clone(r.Context())
	upload.Method = http.MethodPost
	upload.URL = &url.URL{Path: "/upload/storage/v1/b/" + bucket + "/o", RawQuery: query.Encode()}
	upload.RequestURI = upload.URL.RequestURI()

	answer := httptest.NewRecorder()
	h.fake.ServeHTTP(answer, upload)
	var stored struct{ Etag, Generation string }
	if answer.Code == http.StatusOK && json.Unmarshal(answer.Body.Bytes(), &stored) == nil {
		w.Header().Set("ETag", stored.Etag)
		w.Header().Set("x-goog-generation", stored.Generation)
		return
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}
