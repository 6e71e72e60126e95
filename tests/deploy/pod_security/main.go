// Asks Kubernetes' own admission whether pods are "restricted".
//
// The input is a JSON list of {"name", "metadata", "spec"}; a line is printed for each pod that is
// refused.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

type pod struct {
	Name     string            `json:"name"`
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     corev1.PodSpec    `json:"spec"`
}

func main() {
	var pods []pod
	if err := json.NewDecoder(os.Stdin).Decode(&pods); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for _, each := range pods {
		result := policy.AggregateCheckResults(evaluator.EvaluatePod(level, &each.Metadata, &each.Spec))
		if !result.Allowed {
			fmt.Printf("%s: %s\n", each.Name, result.ForbiddenDetail())
		}
	}
}
