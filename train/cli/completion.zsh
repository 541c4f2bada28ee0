#compdef rudd rudd-serve rudd-bench
# Completion of rudd, rudd-serve and rudd-bench for zsh.
#
#     source <(rudd completion zsh)      after compinit; or save it as _rudd in a folder of $fpath
#
# The programs say their commands, options and values themselves (--help=words), so that this
# file stays right when they change. Each line they print: name TAB values TAB help. Values are
# words with | between; FILE and DIR among them stand for names, - for none, ? for anything.
_rudd()
{
    local cur=${words[CURRENT]} prev=${words[CURRENT-1]} takes= line i
    local -a chosen options commands fields offered
    if [[ $cur == --*=* ]]; then
        prev=${cur%%=*}
        compset -P '*='
    fi
    for ((i = 2; i < CURRENT; i++)); do
        [[ ${words[i]} == -* ]] && break
        [[ ${words[i]} == help ]] || chosen+=("${words[i]}")
    done
    for line in ${(f)"$(${~words[1]} --help=words $chosen[1,2] 2> /dev/null)"}; do
        fields=("${(@ps:\t:)line}")
        if [[ $fields[1] != -* ]]; then
            commands+=("$fields[1]:$fields[3]")
        else
            options+=("$fields[1]:$fields[3]")
            [[ $fields[1] == $prev && $fields[2] != - ]] && takes=$fields[2]
        fi
    done
    if [[ -n $takes ]]; then
        offered=(${(s:|:)takes})
        offered=(${offered:#(FILE|DIR|\?)})
        (( $#offered )) && compadd -- $offered
        case "|$takes|" in
        *'|FILE|'*) _files ;;
        *'|DIR|'*) _files -/ ;;
        esac
    elif [[ $cur == -* ]]; then
        _describe option options
    elif (( $#commands )); then
        _describe command commands
    else
        _files
    fi
}
if [[ $funcstack[1] == _rudd ]]; then
    _rudd "$@"
else
    compdef _rudd rudd rudd-serve rudd-bench
fi
