package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// tree is what a checkpoint commits to.
type tree struct {
	origin string
	size   int64
	root   tlog.Hash
}

// keySet has the verifiers of a name each, so that a log's key can vouch for that log alone.
type keySet map[string][]note.Verifier

func readKeys(folder string) (keySet, error) {
	paths, _ := filepath.Glob(filepath.Join(folder, "*.vkey"))
	if len(paths) == 0 {
		return nil, fmt.Errorf("there are no *.vkey in %s", folder)
	}
	known := keySet{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		verifier, err := note.NewVerifier(strings.TrimSpace(string(text)))
		if err != nil {
			return nil, fmt.Errorf("%s: %v", path, err)
		}
		known[verifier.Name()] = append(known[verifier.Name()], verifier)
	}
	return known, nil
}

func openCheckpoint(text []byte, known keySet) (tree, error) {
	origin, _, _ := strings.Cut(string(text), "\n")
	if len(known[origin]) == 0 {
		return tree{}, fmt.Errorf("no verifier key is named %q", origin)
	}
	opened, err := note.Open(text, note.VerifierList(known[origin]...))
	if err != nil {
		return tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 {
		return tree{}, fmt.Errorf("the checkpoint has not its three lines")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return tree{}, fmt.Errorf("the checkpoint has no size")
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return tree{}, err
	}
	return tree{origin, size, root}, nil
}

// readKept reads one checkpoint, or the JSON in which `lethe audit checkpoint` puts several.
func readKept(path string, known keySet) (map[string]tree, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	notes := []string{string(text)}
	if strings.HasPrefix(strings.TrimSpace(string(text)), "{") {
		var file struct {
			Notes map[string]string `json:"notes"`
		}
		if err := json.Unmarshal(text, &file); err != nil {
			return nil, err
		}
		notes = nil
		for _, one := range file.Notes {
			notes = append(notes, one)
		}
	}
	kept := map[string]tree{}
	for _, one := range notes {
		opened, err := openCheckpoint([]byte(one), known)
		if err != nil {
			return nil, err
		}
		kept[opened.origin] = opened
	}
	return kept, nil
}
