// Decides what go-vex, the reference implementation of OpenVEX, says about products and vulnerabilities.
//
// Each line of the input is a question as JSON, and each line of the output is its answer: the status of the latest
// statement that matches any identifier of the product, alone and with a package in it; empty where none matches.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/openvex/go-vex/pkg/vex"
)

type question struct {
	Documents     []json.RawMessage `json:"documents"`
	Vulnerability string            `json:"vulnerability"`
	Products      []string          `json:"products"`
	Packages      []string          `json:"packages"`
}

type answer struct {
	Error   string `json:"error"`
	Product string `json:"product"`
	Package string `json:"package"`
}

func main() {
	lines := bufio.NewReaderSize(os.Stdin, 1<<20)
	output := json.NewEncoder(os.Stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		if err := output.Encode(reply(line)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func reply(line []byte) answer {
	var asked question
	if err := json.Unmarshal(line, &asked); err != nil {
		return answer{Error: err.Error()}
	}
	var documents []*vex.VEX
	for _, raw := range asked.Documents {
		document, err := vex.Parse(raw)
		if err != nil {
			return answer{Error: err.Error()}
		}
		for index := range document.Statements {
			if err := document.Statements[index].Validate(); err != nil {
				return answer{Error: err.Error()}
			}
		}
		documents = append(documents, document)
	}
	merged, err := vex.MergeDocuments(documents)
	if err != nil {
		return answer{Error: err.Error()}
	}
	vex.SortStatements(merged.Statements, *merged.Timestamp)
	return answer{Product: latest(merged, asked, nil), Package: latest(merged, asked, asked.Packages)}
}

func latest(merged *vex.VEX, asked question, packages []string) string {
	for index := len(merged.Statements) - 1; index >= 0; index-- {
		statement := &merged.Statements[index]
		for _, product := range asked.Products {
			if statement.Matches(asked.Vulnerability, product, packages) {
				return string(statement.Status)
			}
		}
	}
	return ""
}
