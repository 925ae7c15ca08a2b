package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	height = 8 // a tile has 2**8 hashes
	width  = 1 << height
)

type log struct {
	folder  string
	signed  tree
	hashes  []tlog.Hash // as tlog stores them, made from the entries
	entries [][]byte
	tiles   int
	events  int
}

// Height, ReadTiles and SaveTiles make a log a tlog.TileReader. tlog authenticates what it reads against the signed root.
func (l *log) Height() int { return height }

func (l *log) SaveTiles([]tlog.Tile, [][]byte) {}

func (l *log) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var read [][]byte
	for _, tile := range tiles {
		octets, err := l.read(pathOf(tile), tile)
		if err != nil {
			return nil, err
		}
		if len(octets) < tile.W*tlog.HashSize {
			return nil, fmt.Errorf("%s is too short", pathOf(tile))
		}
		read = append(read, octets[:tile.W*tlog.HashSize])
	}
	return read, nil
}

// pathOf is where tlog-tiles has a tile: tlog's own path, without the height, which is always 8 there.
func pathOf(tile tlog.Tile) string {
	return strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
}

// read gives a tile's file; where a partial one is gone, the full one (tlog-tiles says so).
func (l *log) read(path string, tile tlog.Tile) ([]byte, error) {
	octets, err := os.ReadFile(filepath.Join(l.folder, path))
	if os.IsNotExist(err) && tile.W < width {
		path, _, _ = strings.Cut(path, ".p/")
		octets, err = os.ReadFile(filepath.Join(l.folder, path))
	}
	return octets, err
}

// ReadHashes makes the hashes that were made from the entries a tlog.HashReader.
func (l *log) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var read []tlog.Hash
	for _, index := range indexes {
		if index >= int64(len(l.hashes)) {
			return nil, fmt.Errorf("there is no hash %d", index)
		}
		read = append(read, l.hashes[index])
	}
	return read, nil
}

// recompute makes the whole tree from the entry bundles, and compares root and tiles with it.
func (l *log) recompute() error {
	for at := int64(0); at < l.signed.size; at++ {
		if at%width == 0 {
			if err := l.readBundle(at / width); err != nil {
				return err
			}
		}
		made, err := tlog.StoredHashesForRecordHash(at, tlog.RecordHash(l.entries[at]), l)
		if err != nil {
			return err
		}
		l.hashes = append(l.hashes, made...)
	}
	root, err := tlog.TreeHash(l.signed.size, l)
	if err != nil {
		return err
	}
	if root != l.signed.root {
		return fmt.Errorf("the entries give another root than the one that is signed%s", l.firstOther())
	}
	tiles := tlog.NewTiles(height, 0, l.signed.size)
	for i, tile := range tiles {
		if i+1 < len(tiles) && tiles[i+1].L == tile.L && tiles[i+1].N == tile.N {
			continue // a narrower one, of an earlier size, which a log need not keep
		}
		made, err := tlog.ReadTileData(tile, l)
		if err != nil {
			return err
		}
		found, err := l.ReadTiles([]tlog.Tile{tile})
		if err != nil {
			return err
		}
		if !bytes.Equal(made, found[0]) {
			return fmt.Errorf("%s is not what the entries give", pathOf(tile))
		}
		l.tiles++
	}
	return nil
}

// firstOther names the first leaf in the tiles that is not the entry's, for whoever looks for the cause.
func (l *log) firstOther() string {
	for at := int64(0); at < l.signed.size; at++ {
		n := at / width
		tile := tlog.Tile{H: height, L: 0, N: n, W: int(min(width, l.signed.size-n*width))}
		octets, err := l.ReadTiles([]tlog.Tile{tile})
		if err != nil {
			return ""
		}
		leaf := tlog.RecordHash(l.entries[at])
		from := int(at%width) * tlog.HashSize
		if !bytes.Equal(leaf[:], octets[0][from:from+tlog.HashSize]) {
			return fmt.Sprintf(" (the first that is not in the tiles: index %d)", at)
		}
	}
	return ""
}

func (l *log) readBundle(number int64) error {
	count := int(min(width, l.signed.size-number*width))
	tile := tlog.Tile{H: height, L: 0, N: number, W: count}
	octets, err := l.read(strings.Replace(pathOf(tile), "tile/0/", "tile/entries/", 1), tile)
	if err != nil {
		return err
	}
	for ; count > 0; count-- {
		if len(octets) < 2 || len(octets) < 2+int(octets[0])<<8+int(octets[1]) {
			return fmt.Errorf("entry bundle %d is too short", number)
		}
		length := int(octets[0])<<8 + int(octets[1])
		l.entries = append(l.entries, octets[2:2+length])
		octets = octets[2+length:]
	}
	return nil
}

// authenticate asks tlog's tile reader, which trusts the signed root alone, for each leaf, and compares the entry with it.
func (l *log) authenticate() error {
	if int64(len(l.entries)) < l.signed.size {
		return fmt.Errorf("not all entries could be read")
	}
	reader := tlog.TileHashReader(tlog.Tree{N: l.signed.size, Hash: l.signed.root}, l)
	for start := int64(0); start < l.signed.size; start += width {
		var wanted []int64
		for at := start; at < min(start+width, l.signed.size); at++ {
			wanted = append(wanted, tlog.StoredHashIndex(0, at))
		}
		leaves, err := reader.ReadHashes(wanted)
		if err != nil {
			return err
		}
		for i, leaf := range leaves {
			if leaf != tlog.RecordHash(l.entries[start+int64(i)]) {
				return fmt.Errorf("entry %d is not the one that was signed", start+int64(i))
			}
		}
	}
	return nil
}

// extends shows that the tree contains the one that was kept.
func (l *log) extends(old tree) error {
	if old.size > l.signed.size {
		return fmt.Errorf("it has %d entries, the kept checkpoint %d: it was cut short", l.signed.size, old.size)
	}
	if old.size == 0 {
		return nil
	}
	reader := tlog.TileHashReader(tlog.Tree{N: l.signed.size, Hash: l.signed.root}, l)
	proof, err := tlog.ProveTree(l.signed.size, old.size, reader)
	if err != nil {
		return fmt.Errorf("whether it extends the kept checkpoint can't be seen: %v", err)
	}
	if err := tlog.CheckTree(proof, l.signed.size, l.signed.root, old.size, old.root); err != nil {
		return fmt.Errorf("it does not extend the kept checkpoint of size %d: history was rewritten (%v)", old.size, err)
	}
	return nil
}

// openEvents compares each event of an export with its entry: SHA-256 over salt and envelope, as the bytes stand.
func (l *log) openEvents() error {
	file, err := os.Open(filepath.Join(l.folder, "events.jsonl"))
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var line struct {
			Index    int64           `json:"index"`
			Salt     string          `json:"salt"`
			Envelope json.RawMessage `json:"envelope"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return err
		}
		salt, err := base64.StdEncoding.DecodeString(line.Salt)
		if err != nil {
			return err
		}
		if line.Index < 0 || line.Index >= int64(len(l.entries)) {
			return fmt.Errorf("there is no entry %d", line.Index)
		}
		entry := sha256.Sum256(append(salt, line.Envelope...))
		if !bytes.Equal(entry[:], l.entries[line.Index]) {
			return fmt.Errorf("event %d is not the one that was signed", line.Index)
		}
		l.events++
	}
	return lines.Err()
}

func min(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}
