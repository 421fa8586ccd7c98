# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Completion of ferry's command line. Commands and options come from ferry's own
# help, so there is nothing here to keep up to date.

# The running guests.
_ferry_names()
{
	"$1" list 2>/dev/null | awk 'NR > 1 { print $1 }'
}

_ferry_commands()
{
	"$1" help 2>/dev/null | awk '/^  / { print $1 }'
}

# The networks that are defined.
_ferry_networks()
{
	"$1" net list 2>/dev/null | awk 'NR > 1 && /^[^ ]/ { print $1 }'
}

_ferry_options()
{
	"$1" "$2" --help 2>/dev/null | grep -o -- ' --[a-z-]*'
}

ferry_net_actions="create list show delete forward repair start"
ferry_phases="connect negotiate reserve precopy stop state ready release commit running"

# What comes after an option that wants a value. False: not such an option.
_ferry_value()
{
	local words

	case $1 in
	--kernel | --initrd | --disk | --tls-cert | --tls-key | --tls-ca | --tls-psk-file | \
		--output | -o | --write | -w)
		_filedir
		return
		;;
	--console) words="stdio pty file: unix: none" ;;
	--net) words="user tap tap: bridge: macvtap: none $(_ferry_networks ferry)" ;;
	--mode) words="bridge nat route hostonly internal" ;;
	--level) words="error warning info debug" ;;
	--listen) words="tcp: unix:" ;;
	--map) words="disk: net:" ;;
	--hold) words="$ferry_phases" ;;
	--event) words="shutdown running panic pause reset console: ping:" ;;
	--sort) words="name state cpu_s cpu_percent vcpus memory resident net_rx_s net_tx_s disk_rd_s disk_wr_s iops dirty_pages_s" ;;
	--on-crash | --on-reboot | --on-poweroff) words="destroy restart preserve rename-restart" ;;
	--compress) words="none lz4 zstd" ;;
	--on-timeout) words="cancel switch" ;;
	--clock) words="real continue" ;;
	--name | --append | --memory | --vcpus | --hotplug-slots | --timeout | --allow | --limit | --interval | \
		--duration | --snaplen | --count | --filter) words="" ;;
	*) return 1 ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$2")
}

# The first word that is no option is a guest, the second a file, or what is in $2.
_ferry_name_then()
{
	local nr=0 i

	for ((i = 2; i < cword; i++)); do
		[[ ${words[i]} == -* ]] || nr=$((nr + 1))
	done
	if ((nr == 0)); then
		mapfile -t COMPREPLY < <(compgen -W "$(_ferry_names "$1")" -- "$cur")
	elif [[ -n ${2-} ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$2" -- "$cur")
	else
		_filedir
	fi
}

# The nics of the guest $2.
_ferry_nics()
{
	"$1" nic list "$2" 2>/dev/null | awk 'NR > 1 { print $1 }'
}

# An action, a guest, a nic of it, and what the action takes.
_ferry_nic()
{
	local given

	if ((cword <= 3)); then
		_ferry_action "$1" "attach detach limit link list"
		return
	elif [[ ${words[2]} == attach ]]; then
		_ferry_value --net "$cur"
		return
	elif ((cword == 4)); then
		given=$(_ferry_nics "$1" "${words[3]}")
	elif [[ ${words[2]} == link ]]; then
		given="up down"
	elif [[ ${words[2]} == detach ]]; then
		given="--force --timeout"
	else
		given="rx-bps= rx-pps= tx-bps= tx-pps="
		compopt -o nospace
	fi
	mapfile -t COMPREPLY < <(compgen -W "$given" -- "$cur")
}

# The first word is an action, the second a guest.
_ferry_action()
{
	if ((cword == 2)); then
		mapfile -t COMPREPLY < <(compgen -W "$2" -- "$cur")
	elif ((cword == 3)); then
		mapfile -t COMPREPLY < <(compgen -W "$(_ferry_names "$1")" -- "$cur")
	fi
}

_ferry()
{
	local cur prev words cword

	_init_completion -n : || return
	if ((cword == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "$(_ferry_commands "$1")" -- "$cur")
	elif _ferry_value "$prev" "$cur"; then
		return
	elif [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_ferry_options "$1" "${words[1]}")" -- "$cur")
	else
		case ${words[1]} in
		run | restore | state) _filedir ;;
		plot) _ferry_name_then "$1" "net0 disk0" ;;
		capture) _ferry_name_then "$1" "net0" ;;
		save | dump-core) _ferry_name_then "$1" ;;
		teleport) _ferry_name_then "$1" "tcp: unix:" ;;
		net)
			if ((cword == 2)); then
				mapfile -t COMPREPLY < <(compgen -W "$ferry_net_actions" -- "$cur")
			else
				mapfile -t COMPREPLY < <(compgen -W "$(_ferry_networks "$1")" -- "$cur")
			fi
			;;
		help) mapfile -t COMPREPLY < <(compgen -W "$(_ferry_commands "$1")" -- "$cur") ;;
		memory) _ferry_action "$1" "set stats" ;;
		disk)
			_ferry_action "$1" "list attach detach resize limit"
			[[ ${words[2]} == attach ]] && ((cword == 4)) && _filedir
			;;
		vcpu) _ferry_action "$1" "list pin set" ;;
		nic) _ferry_nic "$1" ;;
		list | info | uptime | rename | pause | resume | shutdown | reboot | reset | destroy | \
			nmi | sysrq | weight | cap | log | console | wait | metrics)
			mapfile -t COMPREPLY < <(compgen -W "$(_ferry_names "$1")" -- "$cur")
			;;
		esac
	fi
} && complete -F _ferry ferry
