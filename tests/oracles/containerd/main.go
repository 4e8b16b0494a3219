// Containerd's own choice of a manifest, for generated images.
//
// Reads one case a line from standard input, and writes one answer a line:
//
//	{"blobs": {"sha256:…": "<base64>"}, "top": {"mediaType": …, "digest": …, "size": …}, "platforms": ["linux/amd64"]}
//	[{"platform": "linux/amd64", "digest": "sha256:…"}, {"platform": "linux/arm64", "error": "…"}]
//
// `digest` is that of the manifest that images.Manifest of containerd chooses with platforms.Only, which is how its CRI
// plugin asks for the node's own platform. It is found by its bytes: containerd returns the parsed document.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

type question struct {
	Blobs     map[string]string  `json:"blobs"`
	Top       ocispec.Descriptor `json:"top"`
	Platforms []string           `json:"platforms"`
}

type answer struct {
	Platform string `json:"platform"`
	Digest   string `json:"digest,omitempty"`
	Error    string `json:"error,omitempty"`
}

// store is a content store in memory. It remembers the manifests in the order in which they are read.
type store struct {
	blobs map[string][]byte
	read  []digest.Digest
}

type reader struct{ *bytes.Reader }

func (reader) Close() error { return nil }

func (s *store) ReaderAt(_ context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	blob, ok := s.blobs[desc.Digest.String()]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", desc.Digest, errdefs.ErrNotFound)
	}
	if images.IsManifestType(desc.MediaType) {
		s.read = append(s.read, desc.Digest)
	}
	return reader{bytes.NewReader(blob)}, nil
}

func choose(blobs map[string][]byte, top ocispec.Descriptor, platform string) (result answer) {
	result.Platform = platform
	defer func() {
		if panicked := recover(); panicked != nil {
			result.Error = fmt.Sprint("panic: ", panicked)
		}
	}()
	parsed, err := platforms.Parse(platform)
	if err != nil {
		result.Error = err.Error()
		return result
	}
	provider := &store{blobs: blobs}
	manifest, err := images.Manifest(context.Background(), provider, top, platforms.Only(parsed))
	if err != nil {
		result.Error = err.Error()
		return result
	}
	chosen, _ := json.Marshal(manifest)
	for _, read := range provider.read {
		var candidate ocispec.Manifest
		if json.Unmarshal(blobs[read.String()], &candidate) != nil {
			continue
		}
		if same, _ := json.Marshal(candidate); bytes.Equal(same, chosen) {
			result.Digest = read.String()
			return result
		}
	}
	result.Error = "the chosen manifest is in no blob"
	return result
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked question
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		blobs := map[string][]byte{}
		for name, encoded := range asked.Blobs {
			blob, err := base64.StdEncoding.DecodeString(encoded)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			blobs[name] = blob
		}
		answers := []answer{}
		for _, platform := range asked.Platforms {
			answers = append(answers, choose(blobs, asked.Top, platform))
		}
		if err := out.Encode(answers); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
