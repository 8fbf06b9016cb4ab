# bash completion for roostctl                              -*- shell-script -*-
# shellcheck shell=bash disable=SC2207

_roostctl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local commands="status nodes peers routes explain check render plan apply reload pods"
	local word command='' i

	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		-s | -o | -n | -d | --socket | --output | --node | --dir) ((i++)) ;;
		-*) ;;
		*)
			command=$word
			break
			;;
		esac
	done

	case $prev in
	-d | --dir)
		COMPREPLY=($(compgen -d -- "$cur"))
		return
		;;
	-s | --socket)
		COMPREPLY=($(compgen -f -- "$cur"))
		return
		;;
	-o | --output)
		COMPREPLY=($(compgen -W "table json" -- "$cur"))
		return
		;;
	-n | --node)
		COMPREPLY=($(compgen -W "$(sed -nE 's/^ *- *\{? *name: *([^,} ]+).*/\1/p' \
			/etc/roost/roost.yaml 2>/dev/null)" -- "$cur"))
		return
		;;
	esac
	case $cur in
	-*)
		COMPREPLY=($(compgen -W "--socket --output --node --dir --no-color --help --version" -- "$cur"))
		return
		;;
	esac
	case $command in
	'') COMPREPLY=($(compgen -W "$commands" -- "$cur")) ;;
	check | render | plan) COMPREPLY=($(compgen -f -- "$cur")) ;;
	esac
}
complete -o filenames -F _roostctl roostctl
