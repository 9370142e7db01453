// age-plugin-token is a hardware token for the tests of strongroom, in software: whoever seals to its recipient needs no plugin
// (age1tag1…), and whoever opens must touch it. Built on the plugin framework of age itself.
//
//	age-plugin-token new [pin]   prints its recipient, another recipient for which the plugin asks a question, and its identity
//
// Each touch appends a line to the file that TOKEN_TOUCHES names. A token with a PIN asks for it: it is "1234".
package main

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"os"

	"filippo.io/age"
	"filippo.io/age/plugin"
	"filippo.io/age/tag"
	"filippo.io/hpke"
	"filippo.io/nistec"
)

const name = "token"

func main() {
	p, err := plugin.New(name)
	check(err)
	p.RegisterFlags(nil)
	flag.Parse()
	if flag.Arg(0) == "new" {
		newToken(flag.Arg(1) == "pin")
		return
	}
	p.HandleRecipient(func(point []byte) (age.Recipient, error) {
		r, err := tag.NewClassicRecipient(point)
		return &asking{r, p}, err
	})
	p.HandleIdentity(func(data []byte) (age.Identity, error) {
		if len(data) != 33 {
			return nil, errors.New("this is not one of my identities")
		}
		return &token{data[0] == 1, data[1:], p}, nil
	})
	os.Exit(p.Main())
}

func newToken(pin bool) {
	data := make([]byte, 33)
	rand.Read(data)
	data[0] = 0
	if pin {
		data[0] = 1
	}
	point := compressed(key(data[1:]))
	r, err := tag.NewClassicRecipient(point)
	check(err)
	fmt.Println(r)
	fmt.Println(plugin.EncodeRecipient(name, point))
	fmt.Println(plugin.EncodeIdentity(name, data))
}

// asking is a recipient that wants to know something before it seals.
type asking struct {
	recipient age.Recipient
	p         *plugin.Plugin
}

func (a *asking) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	yes, err := a.p.Confirm("Seal to the token?", "yes", "no")
	if err != nil {
		return nil, err
	}
	if !yes {
		return nil, errors.New("you said no")
	}
	return a.recipient.Wrap(fileKey)
}

type token struct {
	pin  bool
	seed []byte
	p    *plugin.Plugin
}

func (t *token) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	k := key(t.seed)
	r, err := tag.NewClassicRecipient(compressed(k))
	check(err)
	for _, s := range stanzas {
		if s.Type != "p256tag" || len(s.Args) != 2 {
			continue
		}
		hint, err1 := base64.RawStdEncoding.DecodeString(s.Args[0])
		enc, err2 := base64.RawStdEncoding.DecodeString(s.Args[1])
		if err1 != nil || err2 != nil {
			return nil, errors.New("the stanza is malformed")
		}
		mine, err := r.Tag(enc)
		if err != nil || len(mine) < 4 || !bytes.Equal(hint, mine[:4]) {
			continue
		}
		if err := t.touch(); err != nil {
			return nil, err
		}
		opener, err := hpke.NewRecipient(enc, k, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte("age-encryption.org/p256tag"))
		if err != nil {
			return nil, err
		}
		return opener.Open(nil, s.Body)
	}
	return nil, age.ErrIncorrectIdentity
}

func (t *token) touch() error {
	if t.pin {
		pin, err := t.p.RequestValue("PIN of the token", true)
		if err != nil {
			return err
		}
		if pin != "1234" {
			return errors.New("the PIN is wrong")
		}
	}
	if err := t.p.DisplayMessage("touch the token now"); err != nil {
		return err
	}
	file, err := os.OpenFile(os.Getenv("TOKEN_TOUCHES"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil
	}
	defer file.Close()
	_, err = fmt.Fprintln(file, "touched")
	return err
}

func key(seed []byte) hpke.PrivateKey {
	k, err := hpke.DHKEM(ecdh.P256()).DeriveKeyPair(seed)
	check(err)
	return k
}

func compressed(k hpke.PrivateKey) []byte {
	point, err := nistec.NewP256Point().SetBytes(k.PublicKey().Bytes())
	check(err)
	return point.BytesCompressed()
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
