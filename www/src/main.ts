import "./style.css";

document.body.dataset.state = "loading";
