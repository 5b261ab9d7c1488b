/** What a shell loads. Each script asks `ocibuild __complete WORD…` for what fits; paths are the shell's own business. */
export const COMPLETION_SCRIPTS: Readonly<Record<'bash' | 'zsh' | 'fish', string>> = {
  // Bash splits words at ":" and "=", and keeps quotes: the line is read anew, and what stands before the last of them is
  // taken off. It would quote the colons of other words as those of paths: where both fit, paths are quoted here.
  bash: `# bash completion for ocibuild; to load it: source <(ocibuild completion bash)
_ocibuild() {
  local line=\${COMP_LINE:0:COMP_POINT} cur= quote= inside= char part directive item i
  local -a found words
  for ((i = 0; i < \${#line}; i++)); do
    char=\${line:i:1}
    if [[ $char == "$quote" ]]; then quote=
    elif [[ $char == \\\\ && $quote != "'" ]]; then cur+=\${line: ++i:1} inside=1
    elif [[ -n $quote ]]; then cur+=$char
    elif [[ $char == [\\"\\'] ]]; then quote=$char inside=1
    elif [[ $char != [[:space:]] ]]; then cur+=$char inside=1
    elif [[ -n $inside ]]; then words+=("$cur") cur= inside=
    fi
  done
  words+=("$cur")
  mapfile -t found < <("\${words[0]}" __complete "\${words[@]:1}" 2>/dev/null)
  COMPREPLY=()
  ((\${#found[@]} > 0)) || return 0
  directive=\${found[-1]}
  unset 'found[-1]'
  part=\${cur##*[:=]}
  for item in "\${found[@]}"; do
    item=\${item%%$'\\t'*}
    COMPREPLY+=("\${item#"\${cur%"$part"}"}")
  done
  case $directive in
    :files) mapfile -t found < <(compgen -f -- "$part") ;;
    :dirs) mapfile -t found < <(compgen -d -- "$part") ;;
    *) return 0 ;;
  esac
  if ((\${#COMPREPLY[@]} == 0)); then
    compopt -o filenames 2>/dev/null
    COMPREPLY=("\${found[@]}")
  else
    for item in "\${found[@]}"; do
      [[ ! -d $item ]] || item+=/
      printf -v item %q "$item"
      COMPREPLY+=("$item")
    done
  fi
}
complete -F _ocibuild ocibuild
`,
  zsh: `#compdef ocibuild
# zsh completion for ocibuild; to load it: source <(ocibuild completion zsh)
_ocibuild() {
  local -a found items
  local line directive
  found=("\${(@f)$("\${words[1]}" __complete "\${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
  directive=\${found[-1]}
  for line in "\${(@)found[1,-2]}"; do
    if [[ $line == *$'\\t'* ]]; then
      items+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
    else
      items+=("\${line//:/\\\\:}")
    fi
  done
  (( \${#items} )) && _describe ocibuild items
  case $directive in
    :files) _files ;;
    :dirs) _files -/ ;;
  esac
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _ocibuild "$@"
else
  compdef _ocibuild ocibuild
fi
`,
  fish: `# fish completion for ocibuild; to load it: ocibuild completion fish | source
function __ocibuild_complete
    set -l tokens (commandline -opc)
    set -l word (commandline -ct)
    for line in ($tokens[1] __complete $tokens[2..-1] $word 2>/dev/null)
        switch $line
            case ':none'
            case ':files'
                __fish_complete_path $word
            case ':dirs'
                __fish_complete_directories $word ''
            case '*'
                echo $line
        end
    end
end
complete -c ocibuild -f -a '(__ocibuild_complete)'
`,
};
