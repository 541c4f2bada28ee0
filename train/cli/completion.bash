# Completion of rudd, rudd-serve and rudd-bench for bash.
#
#     source <(rudd completion bash)
#
# The programs say their commands, options and values themselves (--help=words), so that this
# file stays right when they change. Each line they print: name TAB values TAB help. Values are
# words with | between; FILE and DIR among them stand for names, - for none, ? for anything.
_rudd()
{
    local program=${COMP_WORDS[0]/#\~/$HOME} cur=${COMP_WORDS[COMP_CWORD]}
    local prev=${COMP_WORDS[COMP_CWORD-1]}
    local name values takes='' options='' commands='' words='' files='' chosen=() i
    # bash makes three words of --name=value.
    if [[ $cur == = ]]; then
        cur=''
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD-2]}
    fi
    for ((i = 1; i < COMP_CWORD && ${#chosen[@]} < 2; i++)); do
        [[ ${COMP_WORDS[i]} == -* ]] && break
        [[ ${COMP_WORDS[i]} == help ]] || chosen+=("${COMP_WORDS[i]}")
    done
    while IFS=$'\t' read -r name values _; do
        if [[ $name != -* ]]; then
            commands+=" $name"
        else
            options+=" $name"
            [[ $name == "$prev" && $values != - ]] && takes=$values
        fi
    done < <("$program" --help=words "${chosen[@]}" 2> /dev/null)
    if [[ -n $takes ]]; then
        case "|$takes|" in
        *'|FILE|'*) files=-f ;;
        *'|DIR|'*) files=-d ;;
        esac
        words=" ${takes//|/ } "
        words=${words//' FILE '/ }
        words=${words//' DIR '/ }
        words=${words//' ? '/ }
    elif [[ $cur == -* ]]; then
        words=$options
    elif [[ -n $commands ]]; then
        words=$commands
    else
        files=-f
    fi
    mapfile -t COMPREPLY < <(
        compgen -W "$words" -- "$cur"
        [[ -z $files ]] || compgen "$files" -- "$cur"
    )
    [[ -z $files ]] || compopt -o filenames 2> /dev/null
    return 0
}
complete -F _rudd rudd rudd-serve rudd-bench
