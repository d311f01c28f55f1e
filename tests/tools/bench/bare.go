// The ceiling in Go: create the Pods, see them end on one watch, delete them, with 32 requests in flight.
//
// It does what bare.py does, written down as Go people would: net/http and encoding/json, nothing tuned. Its task
// comes as JSON in the file that the first argument names. It prints "ready", waits for a line on standard input,
// and prints one JSON line when the last Pod has gone. bare_go.py builds and starts it.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type pod struct{ Name, UID, Body string }

type task struct {
	Server, Path, CA, Cert, Key, Token string
	InFlight                           int
	Pods                               []pod
}

type event struct {
	Type   string
	Object struct {
		Metadata struct{ Name, UID, ResourceVersion string }
		Status   struct{ Phase string }
	}
}

type generator struct {
	task
	client                    *http.Client
	creates, deletes          chan pod
	created, deleted, watches int64
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
}

func main() {
	g := &generator{}
	text, err := os.ReadFile(os.Args[1])
	check(err)
	check(json.Unmarshal(text, &g.task))
	g.client = &http.Client{Transport: transport(g.task)}
	g.creates, g.deletes = make(chan pod, len(g.Pods)), make(chan pod, len(g.Pods))
	for _, each := range g.Pods {
		g.creates <- each
	}
	version := g.connect()
	fmt.Println("ready")
	_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	check(err)
	begun, cpu := time.Now(), cpuSeconds()
	for i := 0; i < g.InFlight; i++ {
		go g.send()
	}
	g.watch(version)
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"seconds":     time.Since(begun).Seconds(),
		"cpu_seconds": cpuSeconds() - cpu,
		"requests": map[string]int64{
			"create": atomic.LoadInt64(&g.created), "delete": atomic.LoadInt64(&g.deleted), "watch": g.watches,
		},
	}))
}

// HTTP/1.1 with a connection for each request in flight, as the other contestants do it.
func transport(t task) *http.Transport {
	made := &http.Transport{MaxIdleConnsPerHost: t.InFlight + 1, TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}
	if t.CA != "" {
		text, err := os.ReadFile(t.CA)
		check(err)
		made.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
		made.TLSClientConfig.RootCAs.AppendCertsFromPEM(text)
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		check(err)
		made.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	return made
}

// connect opens every connection; it returns the version to watch from.
func (g *generator) connect() string {
	var all sync.WaitGroup
	var found struct {
		Metadata struct{ ResourceVersion string }
	}
	for i := 0; i < g.InFlight; i++ {
		all.Add(1)
		go func(first bool) {
			defer all.Done()
			answer := g.request("GET", g.Path+"?limit=1", nil)
			if first {
				check(json.Unmarshal(answer, &found))
			}
		}(i == 0)
	}
	all.Wait()
	return found.Metadata.ResourceVersion
}

// send goes on for ever; a delete goes before the next create, since it makes room.
func (g *generator) send() {
	for {
		select {
		case each := <-g.deletes:
			g.remove(each)
			continue
		default:
		}
		select {
		case each := <-g.deletes:
			g.remove(each)
		case each := <-g.creates:
			atomic.AddInt64(&g.created, 1)
			g.request("POST", g.Path, []byte(each.Body))
		}
	}
}

func (g *generator) remove(each pod) {
	atomic.AddInt64(&g.deleted, 1)
	options := fmt.Sprintf(`{"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"uid":%q}}`, each.UID)
	g.request("DELETE", g.Path+"/"+each.Name, []byte(options))
}

// watch returns when every Pod has gone.
func (g *generator) watch(version string) {
	left, asked := make(map[string]bool, len(g.Pods)), make(map[string]bool, len(g.Pods))
	for _, each := range g.Pods {
		left[each.Name] = true
	}
	for {
		g.watches++
		answer := g.open("GET", g.Path+"?watch=1&timeoutSeconds=3600&resourceVersion="+version, nil)
		lines := json.NewDecoder(answer.Body)
		for {
			var seen event
			if lines.Decode(&seen) != nil {
				break // the server's own end: go on from here
			}
			name := seen.Object.Metadata.Name
			version = seen.Object.Metadata.ResourceVersion
			if seen.Type == "DELETED" {
				delete(left, name)
				if len(left) == 0 {
					return
				}
			} else if phase := seen.Object.Status.Phase; (phase == "Succeeded" || phase == "Failed") && !asked[name] {
				asked[name] = true
				g.deletes <- pod{Name: name, UID: seen.Object.Metadata.UID}
			}
		}
		answer.Body.Close()
	}
}

func (g *generator) request(method, path string, body []byte) []byte {
	answer := g.open(method, path, body)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	check(err)
	return text
}

func (g *generator) open(method, path string, body []byte) *http.Response {
	made, err := http.NewRequest(method, g.Server+path, bytes.NewReader(body))
	check(err)
	made.Header.Set("Accept", "application/json")
	if body != nil {
		made.Header.Set("Content-Type", "application/json")
	}
	if g.Token != "" {
		made.Header.Set("Authorization", g.Token)
	}
	answer, err := g.client.Do(made)
	check(err)
	if answer.StatusCode >= 300 {
		text, _ := io.ReadAll(answer.Body)
		check(fmt.Errorf("%s for %s %s: %.300s", answer.Status, method, path, text))
	}
	return answer
}

func cpuSeconds() float64 {
	var used syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
}
