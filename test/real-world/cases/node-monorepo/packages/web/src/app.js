document.title = ["shop", location.host].join(" at ");
