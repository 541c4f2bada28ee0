# Completion of rudd, rudd-serve and rudd-bench for fish.
#
#     rudd completion fish | source          or save it as ~/.config/fish/completions/rudd.fish
#
# The programs say their commands, options and values themselves (--help=words), so that this
# file stays right when they change. Each line they print: name TAB values TAB help. Values are
# words with | between; FILE and DIR among them stand for names, - for none, ? for anything.
function __rudd_complete
    set -l tokens (commandline -opc)
    set -l cur (commandline -ct)
    set -l prev $tokens[-1]
    set -l before ''
    set -l chosen
    set -l takes ''
    set -l names
    set -l commands
    if string match -qr -- '^--[^=]+=' $cur
        set prev (string replace -r '=.*' '' -- $cur)
        set before $prev=
    end
    for word in $tokens[2..-1]
        string match -q -- '-*' $word; and break
        test "$word" = help; or set -a chosen $word
    end
    for line in (command $tokens[1] --help=words $chosen[1..2] 2>/dev/null)
        set -l fields (string split \t -- $line)
        if string match -q -- '-*' $fields[1]
            set -a names $fields[1]\t$fields[3]
            test "$fields[1]" = "$prev"; and test "$fields[2]" != -; and set takes $fields[2]
        else
            set -a commands $fields[1]\t$fields[3]
        end
    end
    if test -n "$takes"
        set -l part (string replace -- "$before" '' $cur)
        for word in (string split '|' -- $takes)
            switch $word
                case FILE
                    __fish_complete_path $part | string replace -r '^' -- $before
                case DIR
                    __fish_complete_directories $part '' | string replace -r '^' -- $before
                case '\?'
                case '*'
                    echo $before$word
            end
        end
    else if string match -q -- '-*' $cur
        printf '%s\n' $names
    else if test (count $commands) -gt 0
        printf '%s\n' $commands
    else
        __fish_complete_path $cur
    end
end
for program in rudd rudd-serve rudd-bench
    complete -c $program -f -a '(__rudd_complete)'
end
