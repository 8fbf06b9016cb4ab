# bash completion for roostctl                              -*- shell-script -*-
# shellcheck shell=bash disable=SC2207
#
# Commands and options are asked of roostctl itself: __complete prints "NAME:help" lines.

_roostctl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local word command='' i

	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		-s | -o | -n | -d | --socket | --output | --node | --nodes | --dir | --interval | --max-restarts) ((i++)) ;;
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
	-s | --socket | --nodes)
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
	--interval)
		COMPREPLY=($(compgen -W "1 2 5 10 60" -- "$cur"))
		return
		;;
	esac
	case $cur in
	-*)
		COMPREPLY=($(compgen -W "$(roostctl __complete "${command:-status}" 2>/dev/null |
			sed 's/[=:].*//')" -- "$cur"))
		return
		;;
	esac
	case $command in
	'') COMPREPLY=($(compgen -W "$(roostctl __complete 2>/dev/null | sed 's/:.*//')" -- "$cur")) ;;
	doctor | check | render | plan) COMPREPLY=($(compgen -f -- "$cur")) ;;
	esac
}
complete -o filenames -F _roostctl roostctl
