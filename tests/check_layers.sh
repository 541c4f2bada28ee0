#!/bin/bash
# check_layers.sh - the rules of the house that a compiler does not see.
#
#     tests/check_layers.sh          proves that each rule below can fail, then applies all of them to this tree
#
#     kernels <- nn <- weights, data <- train, serve <- bench, tests        who may include whom
#
# Layers reach downwards only; weights and data do not include each other, nor do train and serve. BLAS lives in kernels/, OpenMP nowhere. Only
# main.c, command.c, progress.c and cmd_*.c print, only main.c chooses an exit status. No flag or pragma may change what floating-point means
# or tie a build to one machine. No path or host of a developer's machine (mkdtemp templates are none). Files stay readable in one
# sitting. The server's errors are those of its documentation.
#
# Each rule is a function that prints offending `file:line: text` of the tree in the current folder; silence is success.
set -u
MAX_LINES=700

# A layer's name, then the folders it may include from.
LAYERS='kernels: kernels
nn: nn kernels
weights: weights nn kernels
data: data nn kernels
train: train weights data nn kernels
serve: serve weights data nn kernels
bench: bench train serve weights data nn kernels
tests: tests bench train serve weights data nn kernels'

# Rooms of a layer, and what they may include of it: data/image knows no sets of pictures.
ROOMS='data/image: data/image
data/sets: data/sets data/image data/table
data/table: data/table'

sources() { find . -path ./.git -prune -o \( -name '*.c' -o -name '*.h' -o -name '*.def' \) -print | grep -vE '^\./build|^\./demo/' | sed 's|^\./||' | sort; }
texts() { find . \( -path ./.git -o -path './build*' -o -path ./demo \) -prune -o -type f -print | grep -vE '\.(png|jpe?g|gif|safetensors|npy)$' | sed 's|^\./||' | sort; }

# A file with comments and string contents blanked, line numbers kept. One pass of gcc's own lexer drops the comments.
code() { gcc -fpreprocessed -dD -E -P -w -x c "$1" 2>/dev/null | sed 's/"\([^"\\]\|\\.\)*"/""/g'; }
grep_code() { # pattern files...: matches in code, named by file
    local pattern=$1 file
    shift
    for file; do code "$file" | grep -E -- "$pattern" | sed "s|^|$file: |"; done
}

rule_includes() {
    local file layer allowed target
    sources | while read -r file; do
        layer=${file%%/*}
        allowed=$(sed -n "s/^$layer: //p" <<< "$LAYERS")
        [ -n "$allowed" ] || { echo "$file: in no known layer"; continue; }
        sed -n 's/^[ \t]*#[ \t]*include[ \t]*"\([^"]*\)".*/\1/p' "$file" | while read -r target; do
            case $target in
            */*) case " $allowed " in *" ${target%%/*} "*) ;; *) echo "$file: includes $target; $layer may use: $allowed" ;; esac ;;
            *)   [ -e "$(dirname "$file")/$target" ] || echo "$file: includes $target, which is not beside it (write folder/file.h)" ;;
            esac
        done
    done
}

rule_rooms() {
    local room rooms target
    while IFS=: read -r room rooms; do
        grep -nH '^[ \t]*#[ \t]*include[ \t]*"'"${room%%/*}/" "$room"/*.[ch] 2>/dev/null | while IFS= read -r line; do
            target=$(sed 's/.*include[ \t]*"\([^"]*\)".*/\1/' <<< "$line")
            case " $rooms " in *" ${target%/*} "*) ;; *) echo "$line; $room may use:$rooms" ;; esac
        done
    done <<< "$ROOMS"
}

# Kernels share work by kernels/team.h, which says why.
rule_no_openmp() {
    grep_code '^[ \t]*#[ \t]*pragma[ \t]+omp|\bomp_[a-z_]+[ \t]*\(|<omp\.h>' $(sources)
}

rule_blas_in_kernels() {
    local outside
    outside=$(sources | grep -v '^kernels/')
    grep_code '\b(cblas|openblas)_[a-z_]+[ \t]*\(|cblas\.h' $outside
}

rule_quiet_library() {
    local library
    library=$(sources | grep -E '^(kernels|nn|weights|data|train|serve)/' | grep -vE '/(main|command|progress|cmd_[^/]*)\.[ch]$')
    grep_code '(^|[^a-zA-Z0-9_.>])(printf|vprintf|puts|putchar|perror)[ \t]*\(|\b(stdout|stderr)\b' $library
}

rule_no_exit() {
    local library
    library=$(sources | grep -E '^(kernels|nn|weights|data|train|serve)/' | grep -vE '/main\.c$')
    grep_code '(^|[^a-zA-Z0-9_.>])(exit|_exit|_Exit|quick_exit|abort|assert)[ \t]*\(' $library
}

rule_no_forbidden_flags() {
    texts | grep -vE '\.md$|^tests/check_layers\.sh$' | xargs -r grep -nHE -- \
        '-f(fast-math|associative-math|unsafe-math-optimizations|finite-math-only)|-Ofast|-m(arch|tune)=native|pragma +(GCC|clang) +optimize|__optimize__|optimize\("'
}

rule_no_machine_paths() {
    texts | grep -vE '^tests/check_layers\.sh$' | xargs -r grep -nHE -- '(^|[^a-zA-Z0-9_.])/(work|root|home|mnt)/|/tmp/[a-z]|deb\.debian\.org|pypi\.org' | grep -v 'XXXXXX'
}

rule_short_files() {
    sources | xargs -r wc -l | awk -v max=$MAX_LINES '$2 != "total" && $1 > max { print $2 ": " $1 " lines; " max " at most" }'
}

rule_no_dead_code() {
    sources | xargs -r grep -nHE '^[ \t]*#[ \t]*if[ \t]+0\b|\b(TODO|FIXME|XXX)\b'
}

# What serve/ may answer (`serve_refuse(p, 404, "not_found", ...)`) and the table of docs/serving.md, section Errors, are the same.
rule_errors_are_documented() {
    [ -e docs/serving.md ] || return 0
    diff <(cat serve/*.c | tr -s ' \n' '  ' | grep -oE '\b[45][0-9]{2}, "[a-z0-9_]+"' | tr -d ',"' | sort -u) \
         <(sed -n '/^## Errors/,/^## /s/^| \([45][0-9][0-9]\) | \(.*\) |$/\1 \2/p' docs/serving.md | sed 's/([^)]*)//g' |
           while read -r status words; do printf "$status %s\n" $words; done | sort -u) |
        sed -n 's/^< \(.*\)/docs\/serving.md: lacks \1/p; s/^> \(.*\)/docs\/serving.md: \1 is in no source of serve/p'
}

RULES='includes rooms no_openmp blas_in_kernels quiet_library no_exit no_forbidden_flags no_machine_paths short_files no_dead_code errors_are_documented'

# ---- self-test: a small tree that keeps every rule, then one offence at a time --------------------------------------------------------

scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
wrong=0

good_tree() {
    rm -rf "${scratch:?}"/*
    mkdir -p "$scratch"/{kernels,nn,weights,data/image,data/sets,train,serve,bench,tests,docs}
    printf '%s\n' '#include "kern.h"' 'void f(void) { cblas_sgemm(1); } /* omp_get_x() in a comment */' > "$scratch/kernels/a.c"
    printf '%s\n' '/* exit(1) and printf(x) in a comment */' 'const char *s = "abort() in a string, stderr";' > "$scratch/nn/a.c"
    printf '%s\n' '#include "nn/a.h"' 'void f(struct x *p) { p->exit(1); my_printf(2); snprintf(0, 0, ""); }' > "$scratch/kernels/kern.h"
    sed -i 1d "$scratch/kernels/kern.h"
    printf '%s\n' '#include <stdio.h>' 'int main(void) { printf("x"); exit(2); }' > "$scratch/train/main.c"
    printf '%s\n' 'void f(void) { printf("x"); }' > "$scratch/serve/cmd_x.c"
    printf '%s\n' 'void f(void) { serve_refuse(p, 404,' '"none", "there is none"); }' > "$scratch/serve/b.c"
    printf '%s\n' '## Errors' '| 404 | none (there is none) |' '## Next' '| 405 | other |' > "$scratch/docs/serving.md"
    echo 'CFLAGS = -O3' > "$scratch/Makefile"
}
offend() { # rule, file, text: the rule must object to this file and, without it, to nothing
    good_tree
    local before after
    before=$(cd "$scratch" && "rule_$1")
    printf '%b\n' "$3" > "$scratch/$2"
    after=$(cd "$scratch" && "rule_$1")
    [ -z "$before" ] || { echo "self-test: $1 objects to a good tree: $before"; wrong=1; }
    [ -n "$after" ] || { echo "self-test: $1 does not see '$3' in $2"; wrong=1; }
}

offend includes kernels/b.c '#include "nn/rudd.h"'
offend includes nn/b.c '#include "data/image/decode.h"'
offend includes weights/b.c '#include "data/image/decode.h"'
offend includes data/b.h '# include "weights/safetensors.h"'
offend includes train/b.c '#include "serve/server.h"'
offend includes serve/b.c '#include "train/run.h"'
offend includes nn/b.c '#include "missing.h"'
offend includes other.c '#include "nn/rudd.h"'
offend rooms data/image/b.c '#include "data/sets/dataset.h"'
offend rooms data/sets/b.h '#include "data/session.h"'
offend no_openmp kernels/b.c '#pragma omp parallel for\nint x;'
offend no_openmp train/b.c 'int f(void) { return omp_get_max_threads(); }'
offend blas_in_kernels nn/b.c 'void f(void) { cblas_sgemm(1); }'
for text in 'printf("x");' 'fprintf(stderr, "x");' 'fputs("x", stdout);' 'perror("x");'; do
    offend quiet_library nn/b.c "void f(void) { $text }"
    offend quiet_library train/b.c "void f(void) { if (x) $text }"
done
for text in 'exit(1);' 'abort();' 'assert(x);'; do
    offend no_exit nn/b.c "void f(void) { $text }"
    offend no_exit train/cmd_b.c "void f(void) { if (x) $text }"
done
offend no_forbidden_flags Makefile 'CFLAGS = -O3 -ffast-math'
offend no_forbidden_flags Makefile 'CFLAGS = -march=native'
offend no_forbidden_flags kernels/b.c '#pragma GCC optimize ("O3")'
offend no_machine_paths tests/b.c 'const char *p = "/work/shared/golden";'
offend no_machine_paths Makefile 'X = /root/x'
offend short_files data/b.c "$(yes 'int x;' | head -n $((MAX_LINES + 1)))"
offend no_dead_code data/b.c '#if 0\nint x;\n#endif'
offend no_dead_code data/b.c '/* TODO: later */'
offend errors_are_documented serve/a.c 'void g(void) { serve_refuse(p, 503, "away", "later"); }'
offend errors_are_documented serve/a.c 'void g(void) { serve_refuse(p, 400, "base64", "bad"); }'
offend errors_are_documented docs/serving.md '## Errors\n| 404 | none gone |'

# ---- the tree itself ------------------------------------------------------------------------------------------------------------------

for rule in $RULES; do
    found=$("rule_$rule")
    [ -z "$found" ] || { echo "$rule:"; echo "$found" | sed 's/^/    /'; wrong=1; }
done
[ $wrong = 0 ] && echo "layers and rules: kept"
exit $wrong
