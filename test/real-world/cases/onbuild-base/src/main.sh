echo "@GREETING@ from @VERSION@ as $(id -u) in $PWD"
