#!/bin/bash
# port-model.sh x86|arm [BENCH] - the inner loops of the kernels on llvm-mca's models of processors: cycles against what the units can issue.
#
# Compiles the files of a level with CC and the Makefile's flags to assembly, cuts the innermost loop with most product instructions out of a
# function, and runs it. A model knows units, latencies and widths; every load hits the first cache. One line per loop and processor:
#     cycles    of one turn of the loop, in the steady state
#     products  product instructions in it, and the cycles that they alone keep their units busy (limit); that part of the cycles
#     needed    the same with the other arithmetic that the scheme cannot do without (the scales of a group), where there is some
#     bound     what llvm-mca's "Block RThroughput" says of all instructions of the turn, and the busiest unit with its cycles
#     bar       the part that `needed` must reach, where the table below has one; the exit status is 1 when a line misses it
# BENCH (a prism-bench) adds to x86 lines the part of the peak that this machine measures.
#
# Models: neoverse-v1 and neoverse-n2 are the processors' own (LLVM 16 takes that of N2 for both); cortex-a76 is LLVM's model of the A57;
# znver4 stands for Zen 5 too, which has no model; sapphirerapids is Golden Cove. MCA: another llvm-mca, 16 or later (llvm-mca-19).
# CC, FLAGS_<level> and PKG_CFLAGS come from the Makefile. KEEP=DIR keeps the loops.
set -euo pipefail
cd "$(dirname "$0")/.."

family=${1:?usage: port-model.sh x86|arm [BENCH]} bench=${2:-}
work=${KEEP:-$(mktemp -d)}
mkdir -p "$work"
[ -n "${KEEP:-}" ] || trap 'rm -rf "$work"' EXIT

mca=${MCA:-llvm-mca-19}
command -v "$mca" >/dev/null || tools/apt-install.sh "make port-model" llvm-19

# title, file, function, products, other needed arithmetic (- for none), bar, kernel of the bench, processors
rows_x86() {
    local all=znver4,sapphirerapids,icelake-server
    cat <<EOF
f32  arch/avx2/linear_f32.c          tile_6x16      vfmadd231ps  - - linear_f32:F16    $all
i16  arch/avx2/linear_i16.c          tile_symmetric vpmaddwd     - - linear_auto:Q8_0  $all
i4   arch/avx2/linear_i4.c           tile_offset    vpmaddubsw   - - linear_auto:Q4_0  $all
i8   arch/avxvnni/linear_i8.c        tile_symmetric vpdpbusd     - - linear_auto:Q8_0  $all
f32  arch/avx512/linear_f32.c        tile           vfmadd231ps  - - linear_f32:F16    $all
i8   arch/avx512vnni/linear_i8.c     tile_i8        vpdpbusd     - - linear_auto:Q8_0  $all
i8x2 arch/avx512vnni/linear_i8.c     tile_i8x2      vpdpbusd     - - linear_finer:Q8_0 $all
i16  arch/avx512vnni/linear_i16.c    tile           vpdpwssd     - - linear_auto:F16   $all
qk   arch/avx512vnni/attention_i16.c scores_8x32    vpdpwssd     - - -                 $all
pv   arch/avx512vnni/attention_i16.c values_8x32    vpdpwssd     - - -                 $all
EOF
}

rows_arm() {
    local all=neoverse-n2,neoverse-v1,cortex-a76 matrix=neoverse-n2,neoverse-v1
    cat <<EOF
f32     arch/neon/linear_f32.c               tile_8x12   fmla    -     - - $all
qk      arch/neon/attention.c                scores_8x8  fmla    -     - - $all
pv      arch/neon/attention.c                values_8x8  fmla    -     - - $all
gemv    arch/neon/gemv.c                     dot_q8_0    fmla    -     - - $all
i8      arch/neon_i8mm_bf16/linear_i8.c      tile_i8     smmla   fmla  85 - $matrix
i8x2    arch/neon_i8mm_bf16/linear_i8.c      tile_i8x2   smmla   fmla  85 - $matrix
bf16    arch/neon_i8mm_bf16/linear_bf16.c    tile_8x12      bfmmla  -     85 - $matrix
qk      arch/neon_i8mm_bf16/attention_i16.c  scores_8x8  smmla   -     - - $matrix
pv      arch/neon_i8mm_bf16/attention_i16.c  values_8x8  usmmla  -     - - $matrix
exp     arch/neon_i8mm_bf16/attention_i16.c  softmax     fmla    -     - - $matrix
gemv    arch/neon_i8mm_bf16/gemv_i16.c       gemv_q8_0   sdot    fmla  - - $matrix
EOF
}

# The loops of a function are the runs of lines from a label to a branch back to it; of those that hold no other, that with most products.
loop_of() { # function, products; assembly on standard input
    FUNCTION=$1 PRODUCTS=$2 awk '
        BEGIN { name = "^" ENVIRON["FUNCTION"] "([.][a-z0-9.]+)?:"; product = "^\t([{]vex[}] )?(" ENVIRON["PRODUCTS"] ")" }
        $0 ~ name { inside = 1; next }
        inside && /^\t\.size/ { inside = 0 }
        !inside { next }
        /^\.L[A-Za-z0-9_]*:/ { at[substr($1, 1, length($1) - 1)] = n; next }
        /^\t[a-z{]/ {
            line[++n] = $0
            count[n] = count[n - 1] + ($0 ~ product)
            target = $NF
            sub(/.*,/, "", target)
            if ($1 ~ /^(j|b|cb|tb)/ && target in at) {
                begin[++loops] = at[target] + 1
                end[loops] = n
            }
        }
        END {
            for (i = 1; i <= loops; i++) {
                inner = 1
                for (j = 1; j <= loops; j++)
                    inner = inner && !(j != i && begin[j] >= begin[i] && end[j] <= end[i] && end[j] - begin[j] < end[i] - begin[i])
                products = count[end[i]] - count[begin[i] - 1]
                if (inner && products > most) {
                    most = products
                    best = i
                }
            }
            for (i = begin[best]; best && i <= end[best]; i++)
                print line[i]
        }'
}

# Of a loop: cycles, number and cycles of the products, of these with the needed ones, bound, busiest unit.
judge() { # loop, processor, products, needed
    local file=$1 cpu=$2
    for turns in 100 300; do
        "$mca" -mtriple="$triple" -mcpu="$cpu" ${attributes:+-mattr=$attributes} -iterations=$turns -instruction-info "$file" \
            >"$file.$cpu.$turns" 2>"$file.$cpu.log" || { cat "$file.$cpu.log" >&2; return 1; }
    done
    PRODUCTS=$3 NEEDED=$4 awk '
        BEGIN { product = "^(" ENVIRON["PRODUCTS"] ")"; needed = "^(" ENVIRON["NEEDED"] ")" }
        /^Total Cycles:/ { cycles += FNR == NR ? -$3 : $3 }
        FNR == NR { next }
        /^Block RThroughput:/ { bound = $3 }
        /^Resources:/ { part = "names" }
        /^Resource pressure per iteration:/ { part = "pressure" }
        /^Instruction Info:/ { part = "info" }
        part == "info" && $1 ~ /^[0-9]+$/ {
            for (i = 4; $i !~ /^[a-z]/; i++)
                ;
            text = $i
            rate = $3
            if (text ~ product) { products++; limit += rate; work += rate }
            else if (text ~ needed) { work += rate }
        }
        part == "names" && /^\[/ { name[substr($1, 2, length($1) - 2)] = $3 }
        part == "pressure" && /^\[/ { n = split($0, key, /[][ ]+/); next }
        part == "pressure" && NF && !/^Resource/ {
            for (i = 1; i <= NF; i++)
                if ($i != "-" && $i + 0 > most) { most = $i; unit = name[key[i + 1]] }
            part = ""
        }
        END { printf "%.2f %d %.2f %.2f %.2f %s %.2f\n", cycles / 200, products, limit, work, bound, unit, most }' \
        "$file.$cpu.100" "$file.$cpu.300"
}

measured() { # level, kernel:type
    [ -n "$bench" ] && [ "$2" != - ] || return 0
    "$bench" kernels "${2%:*}" --level "$1" 2>/dev/null | awk -v type="${2#*:}" '$2 == type { for (i = 1; i <= NF; i++) if ($i == "%") { print $(i - 1) " %"; exit } }'
}

if [ "$family" = x86 ]; then triple=x86_64-linux-gnu attributes=; else triple=aarch64-linux-gnu attributes=+dotprod,+i8mm,+bf16,+fullfp16; fi
"$mca" --version | sed -n 's/.*LLVM version/# modelled by llvm-mca/p'
printf '%-5s %-14s %-15s %7s %9s %7s %6s %7s %6s %7s  %-16s %s\n' \
    loop level processor cycles products limit '' needed '' bound 'busiest unit' "$([ "$family" = x86 ] && echo 'measured, of the peak')"
missed=0
while read -r title file function products needed bar kernel cpus; do
    level=${file#arch/} level=${level%%/*} flags=FLAGS_$level
    loop=$work/$level-$title-$function
    # shellcheck disable=SC2086
    ${CC:-gcc} -std=c11 -Wno-psabi -fno-omit-frame-pointer -ffp-contract=off -fvisibility=hidden -O3 -fPIC -fno-asynchronous-unwind-tables \
        ${!flags} -D_GNU_SOURCE -I. -Iinclude ${PKG_CFLAGS:-} -S "$file" -o "$loop.s"
    loop_of "$function" "$products" <"$loop.s" >"$loop.loop"
    [ -s "$loop.loop" ] || { echo "port-model: no loop with $products in $function of $file" >&2; exit 1; }
    here=$(measured "$level" "$kernel")
    for cpu in ${cpus//,/ }; do
        read -r cycles count limit both bound unit most <<<"$(judge "$loop.loop" "$cpu" "$products" "$needed")"
        awk -v c="$cycles" -v l="$limit" -v w="$both" -v bar="$bar" -v line="$(printf '%-5s %-14s %-15s %7s %9s %7s' \
            "$title" "$level" "$cpu" "$cycles" "$count" "$limit")" -v rest="$(printf '%7s  %-16s' "$bound" "$unit $most")" -v here="$here" -v needed="$needed" '
            BEGIN {
                printf "%s %4.0f %% %7s %6s %s %s", line, 100 * l / c, needed == "-" ? "" : w, needed == "-" ? "" : sprintf("%.0f %%", 100 * w / c), rest, here
                ok = bar == "-" || 100 * w / c >= bar
                if (bar != "-")
                    printf " bar %s %%%s", bar, ok ? "" : ": MISSED"
                print ""
                exit !ok
            }' || missed=1
    done
done < <("rows_$family")
exit $missed
