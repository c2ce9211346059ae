// Command kube is kube-apiserver and kube-controller-manager in one binary,
// built from the module k8s.io/kubernetes as released: the scenarios run the
// real thing, and a fresh machine needs nothing but Go to have it.
//
//	kube apiserver ...           as kube-apiserver ...
//	kube controller-manager ...  as kube-controller-manager ...
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

func main() {
	roles := map[string]func() *cobra.Command{
		"apiserver":          apiserver.NewAPIServerCommand,
		"controller-manager": controllers.NewControllerManagerCommand,
	}
	if len(os.Args) < 2 || roles[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: kube apiserver|controller-manager FLAGS")
		os.Exit(2)
	}
	role := roles[os.Args[1]]
	os.Args = append([]string{"kube-" + os.Args[1]}, os.Args[2:]...)
	os.Exit(cli.Run(role()))
}
